import sys

from feedplane_operator.main import main

sys.exit(main())
