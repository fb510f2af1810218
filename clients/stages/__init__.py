"""The pipeline's stages, one behaviour each; `clients/pipeline.py` puts them in order."""
