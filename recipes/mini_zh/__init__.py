"""The parts of `recipes/pretrain_mini_zh.py`: corpus, lexicon, tokens, batches, model."""
