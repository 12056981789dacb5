/* Records what the process was started with, before the Go runtime installs
 * signal handlers, raises RLIMIT_NOFILE and opens descriptors of its own. */

#define _GNU_SOURCE
#include "start.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int start_fd_count;
struct start_fd start_fds[START_FDS];
struct start_limit start_limits[16];
unsigned long long start_blocked, start_ignored;

static void record_fds(void)
{
	/* By number instead of by reading /proc/self/fd: that opens one. */
	for (int fd = 0; fd < 4096 && start_fd_count < START_FDS; fd++) {
		struct stat st;
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fstat(fd, &st) < 0)
			continue;
		struct start_fd *r = &start_fds[start_fd_count++];
		char link[64];
		r->number = fd;
		r->flags = flags;
		r->cloexec = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
		r->mode = st.st_mode;
		r->tty = isatty(fd);
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, r->target, sizeof r->target - 1);
		r->target[n < 0 ? 0 : n] = 0;
	}
}

__attribute__((constructor)) static void record(void)
{
	record_fds();
	for (int i = 0; i < 16; i++) {
		struct rlimit rl;
		start_limits[i].ok = getrlimit(i, &rl) == 0;
		start_limits[i].soft = rl.rlim_cur;
		start_limits[i].hard = rl.rlim_max;
	}
	sigset_t set;
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int sig = 1; sig < 65; sig++) {
		struct sigaction sa;
		if (sigismember(&set, sig) == 1)
			start_blocked |= 1ULL << (sig - 1);
		if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			start_ignored |= 1ULL << (sig - 1);
	}
}
