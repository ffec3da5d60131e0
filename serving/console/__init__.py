"""The console: pages for people, made on the server, without anything from another host.

A page is one file of ``pages`` that defines ``PAGE``, and one template. It is found by its file.
"""
