"""Views of the run records: MLflow. Each outside tracker behind one file."""
