#ifndef PROBE_START_H
#define PROBE_START_H

#define START_FDS 256
#define START_PATH 256

struct start_fd {
	int number;
	int flags;                  /* of F_GETFL; the access mode is in them */
	int cloexec;
	unsigned mode;              /* st_mode */
	int tty;
	char target[START_PATH];    /* of /proc/self/fd/N */
};

struct start_limit {
	int ok;
	unsigned long long soft, hard;
};

extern int start_fd_count;
extern struct start_fd start_fds[START_FDS];
extern struct start_limit start_limits[16];
extern unsigned long long start_blocked, start_ignored;

#endif
