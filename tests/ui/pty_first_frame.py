"""Only the first frame, for as long as the console would be loading on a very slow machine."""

import sys
import threading

from planc_tui.ui.first_frame import FirstFrame

if __name__ == "__main__":
    with FirstFrame(sys.stdout, 120, 40) as first:
        if sys.argv[1] == "handed over":
            first.hand_over()
            print("\x1b[?1000h\x1b[?2004hhanded over", flush=True)
        threading.Event().wait(30)
