"""The process that one pipeline runs in, what it and the agent say to each other, and who watches over it."""
