/* starts N programs in one of the ways in which programs are started: starts WAY N.
 *
 * double: by a child of a child whose parent has ended; signals: while signals arrive that it handles as Go's runtime
 * does those that it sends itself (SIGURG, SA_RESTART); race: while another thread rewrites the argument;
 * storm: as many at a time as there may be processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char word[] = "A-race";

static void ignore(int signal) { (void)signal; }

static void start(char *argument)
{
	char *argv[] = {"/bin/true", argument, NULL};
	execve(argv[0], argv, environ);
	_exit(99);
}

static void with_signals(void)
{
	struct sigaction act = {.sa_handler = ignore, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG};
	struct itimerspec often = {{0, 100000}, {0, 100000}};
	timer_t timer; /* ends with execve(2) */
	if (sigaction(SIGURG, &act, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
		_exit(98);
	start("signals");
}

static void *rewrite(void *unused)
{
	for (;;)
		((volatile char *)word)[0] ^= 'A' ^ 'B';
	return unused;
}

static pid_t one(const char *way)
{
	pid_t child;
	if (!strcmp(way, "race")) {
		char *argv[] = {"/bin/true", word, NULL};
		return posix_spawn(&child, argv[0], NULL, NULL, argv, environ) ? -1 : child;
	}
	child = fork();
	if (child)
		return child;
	if (!strcmp(way, "signals"))
		with_signals();
	child = fork();
	if (!child)
		start("double");
	_exit(child < 0);
}

static int storm(int n)
{
	int status;

	while (n > 0) {
		pid_t child = fork();
		if (child == 0)
			start("storm");
		if (child > 0)
			n--;
		else if (errno != EAGAIN || wait(&status) < 0 || status)
			return 4;
	}
	while (wait(&status) >= 0)
		if (status)
			return 5;
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;
	if (argc != 3)
		return 64;
	if (!strcmp(argv[1], "storm"))
		return storm(atoi(argv[2]));
	if (!strcmp(argv[1], "double")) /* or the box's first process would wait for them, one at a time */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!strcmp(argv[1], "race") && pthread_create(&thread, NULL, rewrite, NULL))
		return 1;
	for (int i = atoi(argv[2]); i > 0; i--)
		if (one(argv[1]) < 0 || wait(&status) < 0 || status)
			return 2;
	while (strcmp(argv[1], "race") && wait(&status) >= 0)
		if (status)
			return 3;
	return 0;
}
