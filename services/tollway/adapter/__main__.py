from tollway.adapter.handlers import Adapter
from tollway.runtime import main

if __name__ == "__main__":
    main("adapter", Adapter)
