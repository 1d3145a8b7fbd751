"""Nodes for tests of whole workflows: small models where a workflow loads files."""


class TinyLoader:
    """A family's model, text encoder and VAE."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"family": ("STRING", {})}})
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load"

    def load(self, family: str) -> tuple:
        from tiny_clips import ENCODERS, tiny_vae

        (encoder,) = [one for one in ENCODERS if one.tiny.name == family]
        model = encoder.model_of_family()
        latents = model.model.latent_format
        ratio = latents.spacial_downscale_ratio
        return model, encoder.clip(), tiny_vae(latents.latent_channels, ratio)


class TinyFilmLoader:
    """A video model, its text encoder, VAE and CLIP vision."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING", {})}})
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CLIP_VISION")
    FUNCTION = "load"

    def load(self, name: str) -> tuple:
        from tiny_films import load

        film = load(name)
        return film.encoder.model_of_family(), film.encoder.clip(), film.vae, film.vision


class Middle:
    """In place of the host's BiRefNet, which has one size, a large one."""

    def encode_image(self, image_NHWC):
        """The middle half of each picture, each way."""
        mask_NHW = image_NHWC.new_zeros(image_NHWC.shape[:3])
        height, width = mask_NHW.shape[1:]
        mask_NHW[:, height // 4 : -height // 4, width // 4 : -width // 4] = 1
        return mask_NHW


class TinyBackgroundRemoval:
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES = ("BACKGROUND_REMOVAL",)
    FUNCTION = "load"

    def load(self) -> tuple:
        return (Middle(),)


NODE_CLASS_MAPPINGS = {
    "TinyLoader": TinyLoader,
    "TinyFilmLoader": TinyFilmLoader,
    "TinyBackgroundRemoval": TinyBackgroundRemoval,
}
