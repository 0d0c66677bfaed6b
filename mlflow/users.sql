CREATE DATABASE users; -- who may use the server: MLflow keeps its users apart from its runs
