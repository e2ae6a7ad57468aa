"""The `trivet` command as a child that dies with its parent, however that ends.

Nothing must stay behind, and the data folder has to be free for whoever comes next. It is in a process group of its
own: a terminal's Ctrl-C is for its parent.
"""

from __future__ import annotations

import os

from trivet.vector.lifeline import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    if os.getsid(0) != os.getpid():  # who leads a session has a group of its own already
        os.setpgid(0, 0)
    from trivet.cli.main import main  # it takes a second, in which the parent may die

    main(prog_name="trivet")
