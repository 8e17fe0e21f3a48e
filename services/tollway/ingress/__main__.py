"""`python -m tollway.ingress`."""

from tollway.ingress.handlers import Ingress
from tollway.runtime import main

if __name__ == "__main__":
    main("ingress", Ingress)
