"""What may go in and what may come out.

``governance`` looks at the whole request before anything is recognised, retrieved or sent, and
strikes out targets to which something in it may not go. ``guard`` stands between one request and
each of its targets: bodies go out and answers come in through it. ``window`` holds an answer back
until its checks let it pass.
"""
