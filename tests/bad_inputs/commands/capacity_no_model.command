capacity --tp 1
