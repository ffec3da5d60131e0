"""What the admin door is made of: wire models, error answers, uploads, bundles, the event stream."""
