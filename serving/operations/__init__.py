"""What operators do beside a running system: plan its size, save its state, bring it back."""
