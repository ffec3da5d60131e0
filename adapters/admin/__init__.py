"""What the admin door is made of: wire models, error answers, uploads, the event stream."""
