from tollway.router.handlers import build
from tollway.runtime import main

main("router", build)
