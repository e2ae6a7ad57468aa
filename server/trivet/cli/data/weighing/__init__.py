"""`trivet data weigh`: chats weighed by what an arm of a suite gets wrong."""
