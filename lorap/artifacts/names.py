"""Names of the files that artifacts hold, for those who write them and those who read them."""

META = "meta.json"
TIMING = "timing.json"  # what differs from run to run; it is no part of an artifact's id
LAYERS = "layers.json"  # the plan of every layer, and how far each weight moved
HISTORY = "history.json"  # the losses of a tuning run
COST, PERPLEXITY, ZEROSHOT = "cost.json", "perplexity.json", "zeroshot.json"
QUALITY = (PERPLEXITY, ZEROSHOT)  # of every cell, measured with one loading of its model
MODEL_FILES = ("config.json", "model.safetensors", LAYERS)
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # as peft has them
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, HISTORY, TIMING)
