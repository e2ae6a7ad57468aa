"""Activated LoRAs beside plain ones: what a shared prefix saves, and that nobody's answer or text gets mixed up."""
