"""What the model sees beyond the client's own words, and how much of those.

Once a request, before anybody is asked, documents are searched (``retrieve``). Then once a target,
since it has to fit into *that* target's window, a block of them is made (``fit``, ``fence``) and
stitched into its body (``stitch``): retries and fallbacks get their own.
"""
