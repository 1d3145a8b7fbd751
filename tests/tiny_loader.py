"""A node for tests of whole workflows: a family's small model, text encoder and VAE, where a
workflow loads files.
"""


class TinyLoader:
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


NODE_CLASS_MAPPINGS = {"TinyLoader": TinyLoader}
