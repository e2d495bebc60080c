"""What a report page is made of: the pictures of its tensors and of the program, and its tables."""
