import sys

from feedplane_collector.main import main

sys.exit(main())
