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


NODE_CLASS_MAPPINGS = {"TinyLoader": TinyLoader, "TinyFilmLoader": TinyFilmLoader}
