"""What the fork server imports before it forks workers; not to be imported anywhere else.

Importing this module moves the process to a process group of its own. The driver alone responds to
Ctrl-C and to a SIGTERM that is sent to its group: if the server ended with them, nobody could tell
the driver how its workers ended. The server also ignores a SIGTERM that is sent to every process of
a job, since workers finish a step and write a checkpoint then. It ends when all of them have ended.
A worker that is only starting has nothing to finish: it ends on SIGTERM, as when its pool is ended.
"""

import os
import signal

os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # also drops one that is pending
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))

import ablab.execute.worker  # noqa: E402
import ablab.train.run  # noqa: E402, F401
