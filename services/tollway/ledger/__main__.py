from tollway.ledger.service import build_service
from tollway.runtime import main

main("ledger", build_service)
