"""Designs: which arms a study compares and which contrasts of arm means answer its question."""
