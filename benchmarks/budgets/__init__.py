"""What holding requests against limits takes, and how exactly gateways share them."""
