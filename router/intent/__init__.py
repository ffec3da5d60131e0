"""What is asked: a sentence encoder on the CPU, a calibrated head, and what keeps both fresh.

`stages/intent.py` is the caller. Here, in the order of a text's way:

- ``view``      which words of a conversation are read
- ``keywords``  the rules that come before any model
- ``encoder``   text to vector, in process, without downloads (``graph``: its ONNX graph)
- ``head``      vector to intent, confidence and out-of-scope verdict
- ``train``     how a head is made from examples (``linear``, ``calibrate``), in seconds
- ``examples``  where examples come from: configuration, files
- ``watch``     a changed intents file becomes a new head, swapped in by one assignment
"""
