from tollway.auth.service import build
from tollway.runtime import main

main("auth", build)
