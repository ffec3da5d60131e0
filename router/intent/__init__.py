"""What is asked: a sentence encoder on the CPU, a calibrated head, and what keeps both fresh.

``stage`` is the caller. Here, in the order of a text's way:

- ``view``      which words of a conversation are read
- ``keywords``  the rules that come before any model
- ``encoder``   text to vector, in process, without downloads
- ``model``     one version of rules, encoder and head together
- ``head``      what a head says: intent, confidence, out of scope
- ``few``       the head for few examples (``share``: of messages with none of the intents)
- ``trained``   the head for many (``ensemble``, ``linear``, ``gate``, ``calibrate``)
- ``train``     which head examples make, in seconds
- ``examples``  where examples come from: configuration, files
- ``source``    a changed intents file becomes a new head, swapped in by one assignment
"""
