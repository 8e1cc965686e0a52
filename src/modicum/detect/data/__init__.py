"""Pictures with boxes: reading, checking, splitting and cropping them, and the embedded default."""
