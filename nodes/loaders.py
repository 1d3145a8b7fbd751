"""The loader of the model that ships with the pack."""

from comfy_api.latest import io


class CoupledLoadMini(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="CoupledLoadMini",
            display_name="Load Mini Flux",
            category="coupled/loaders",
            description=(
                "A small Flux that ships with the pack and paints 256 × 256 scenes on a CPU in"
                " seconds. It knows the places and subjects listed in mini/README.md; for anything"
                " else, load a real Flux instead."
            ),
            search_aliases=["coupled model", "mini flux", "tiny flux", "demo model"],
            inputs=[],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The mini Flux model."),
                io.Clip.Output(
                    display_name="CLIP",
                    tooltip="Its text encoder, over a vocabulary of whole words.",
                ),
                io.Vae.Output(
                    display_name="VAE",
                    tooltip="Its VAE, 16 channels at an eighth of the size, as Flux's.",
                ),
                io.Image.Output(
                    "photo",
                    display_name="photo",
                    tooltip="A drawn room, to try your own picture as the background with.",
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        from ..mini.model import load_mini
        from ..mini.photo import load_photo

        return io.NodeOutput(*load_mini(), load_photo())


NODES = [CoupledLoadMini]
