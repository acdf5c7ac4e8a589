"""What `minigpt plan` computes: parameters, memory, arithmetic, speed, and what a run costs."""
