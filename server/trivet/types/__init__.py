"""The frozen types that the layers hand to each other. They import nothing of Trivet."""
