"""The course's own small encoder: course.safetensors, tokenizer.json and make.py, their recipe."""
