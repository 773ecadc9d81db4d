"""Only the first frame, for as long as the console would be loading on a very slow machine."""

import sys
import threading

from planc_tui.ui.first_frame import FirstFrame

if __name__ == "__main__":
    with FirstFrame(sys.stdout, 120, 40):
        threading.Event().wait(30)
