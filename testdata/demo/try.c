/*
 * What a shell cannot try by itself. One word says what; the answer is a line "allowed DETAIL" or "refused DETAIL".
 * The demonstration builds it statically, so that it runs in any box.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int answer(int allowed, const char *what)
{
	printf("%s %s\n", allowed ? "allowed" : "refused", what);
	return 0;
}

static int refused(const char *call)
{
	char line[256];

	snprintf(line, sizeof line, "%s: %s", call, strerror(errno));
	return answer(0, line);
}

static int dial(const char *ip, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;
	socklen_t len = sizeof err;

	if (fd < 0 || inet_pton(AF_INET, ip, &to.sin_addr) != 1)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno == EINPROGRESS) {
		struct pollfd p = { fd, POLLOUT, 0 };
		if (poll(&p, 1, 2000) <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
			err = ETIMEDOUT;
	} else {
		err = errno;
	}
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

/* The machine's own loopback, where a server of the demonstration listens, and an address of RFC 5737. */
static int try_network(const char *port)
{
	char line[256];

	errno = 0;
	if (dial("127.0.0.1", atoi(port)) == 0)
		return answer(1, "reached a server on the host's loopback");
	snprintf(line, sizeof line, "host's loopback: %s", strerror(errno));
	errno = 0;
	if (dial("192.0.2.1", 443) == 0)
		return answer(1, "reached 192.0.2.1");
	snprintf(line + strlen(line), sizeof line - strlen(line), "; 192.0.2.1: %s", strerror(errno));
	return answer(0, line);
}

/* Outside the box: says where it listens, and leaves a file behind when somebody comes. */
static int serve(const char *port_file, const char *visited)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0 || !(f = fopen(port_file, "w")))
		return 1;
	fprintf(f, "%d\n", ntohs(at.sin_port));
	fclose(f);
	puts("ready");
	fflush(stdout);
	if (accept(fd, NULL, NULL) < 0)
		return 1;
	close(open(visited, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	return 0;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int try_userns(void)
{
	static char stack[65536];

	if (unshare(CLONE_NEWUSER) == 0)
		return answer(1, "unshare(CLONE_NEWUSER)");
	int why = errno;
	pid_t pid = clone(nothing, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, NULL);
	if (pid > 0) {
		waitpid(pid, NULL, 0);
		return answer(1, "clone(CLONE_NEWUSER)");
	}
	errno = why;
	return refused("unshare and clone");
}

static int try_ptrace(void)
{
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	long own = ptrace(PTRACE_ATTACH, child, NULL, NULL);
	int why = errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (own == 0)
		return answer(1, "attached to its own child");
	if (ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0)
		return answer(1, "attached to process 1");
	errno = why;
	return refused("its own child and process 1");
}

static int try_mount(void)
{
	if (mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0)
		return answer(1, "a tmpfs over /tmp");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0)
		return answer(1, "made / writable");
	return refused("a tmpfs, and / writable");
}

static int try_setuid(const char *path)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);

	if (fd < 0)
		return refused("create the file");
	int done = fchmod(fd, 04755) == 0 || chmod(path, 04755) == 0 || chmod(path, 02755) == 0;
	int why = errno;
	if (fstat(fd, &st) == 0 && st.st_mode & (S_ISUID | S_ISGID))
		return answer(1, "chmod 4755 stuck");
	if (done)
		return answer(0, "chmod answered yes, and the bit is not there");
	errno = why;
	return refused("chmod 4755 and 2755");
}

/* Leaves its parents and writes a line ten times a second, for a minute at most. */
static int daemon_away(const char *beat)
{
	if (fork() > 0) {
		struct stat st;
		for (int i = 0; i < 100 && stat(beat, &st) < 0; i++)
			poll(NULL, 0, 20);
		return answer(1, "a daemon with a session of its own ran, and was ended");
	}
	setsid();
	if (fork() > 0)
		_exit(0);
	close(0);
	close(1);
	close(2);
	for (int i = 0; i < 600; i++) {
		int fd = open(beat, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
		if (fd >= 0) {
			if (write(fd, ".", 1) < 0)
				_exit(1);
			close(fd);
		}
		poll(NULL, 0, 100);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *arg = argc > 2 ? argv[2] : "";

	if (!strcmp(what, "network"))
		return try_network(arg);
	if (!strcmp(what, "serve") && argc > 3)
		return serve(arg, argv[3]);
	if (!strcmp(what, "userns"))
		return try_userns();
	if (!strcmp(what, "ptrace"))
		return try_ptrace();
	if (!strcmp(what, "mount"))
		return try_mount();
	if (!strcmp(what, "setuid"))
		return try_setuid(arg);
	if (!strcmp(what, "daemon"))
		return daemon_away(arg);
	fprintf(stderr, "try: unknown word \"%s\"\n", what);
	return 64;
}
