"""GPT-1: the base decoder."""

from ablab.plugin import Dims, Family

GPT1 = Family(
    name="gpt1",
    summary="Post-norm LayerNorm, learned positions, GELU, multi-head attention, biases, tied embeddings.",
    source="Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
    plugins="",
    sizes={"117M": Dims(layers=12, width=768, heads=12, vocab=40478, context=512)},
)
