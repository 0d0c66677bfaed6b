"""Texts of a study and a plugin whose runs crash, hang, fail or are slow."""

PLUGIN = '''
"""A plugin whose model misbehaves when it is first trained; a file with the process id appears."""
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from torch import nn
from ablab.plugin import Activation, plugin

class Misbehaving(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        marker = Path({folder!r}) / self.how
        if x.device.type == "meta":
            return x * x
        if self.how == "slow":
            time.sleep(0.4)
        if not marker.exists():
            marker.write_text(str(os.getpid()))
            if self.how == "raise":
                raise ValueError("no")
            if self.how == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            while self.how == "hang":
                time.sleep(1)
        return x * x

@dataclass(frozen=True)
class MisbehavingActivation(Activation):
    how: str
    def build(self):
        return Misbehaving(self.how)

@plugin(source="a test")
class Misbehave:
    """Does once what `how` names."""
    how: str = "raise"
    def edit(self):
        return {{"mlp.activation": MisbehavingActivation(self.how)}}
'''
STUDY = """\
question: Does the executor do what it must?
arms:
  plain: gpt2
  other: gpt2 + rmsnorm
  raise: gpt2 + misbehave(how=raise)
  crash: gpt2 + misbehave(how=crash)
  hang: gpt2 + misbehave(how=hang)
  slow: gpt2 + misbehave(how=slow)
design: {{kind: compare}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}
budget: {{steps: 8}}
seeds: 1
recipe: {{batch_tokens: 64}}
validate_at: []
"""
