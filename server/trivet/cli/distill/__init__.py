"""`trivet distill`: what a long prompt, or a dearer model, answers, learned by an adapter that needs neither."""
