"""Speed and learning beside other trainers, on the same recipes and the same machine, in turns."""
