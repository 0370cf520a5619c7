/*
 * Replays files to a fuzz target where libFuzzer is not linked in, so that every corpus is also an ordinary test.
 * Arguments are files, or folders whose files are meant.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t size;

	if (file == NULL)
		return perror(path), 1;
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	/* Of exactly this size, so that a sanitizer sees a read beyond the end. */
	exact = malloc(size > 0 ? size : 1);
	if (exact == NULL)
		return perror(path), 1;
	for (size_t i = 0; i < size; i++)
		exact[i] = data[i];
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	printf("%s: %zu bytes\n", path, size);
	return 0;
}

static int
replay_folder(const char *path, DIR *folder)
{
	struct dirent *entry;
	char name[4096];
	int failed = 0;

	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		failed |= replay(name);
	}
	closedir(folder);
	return failed;
}

int
main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);

		failed |= folder != NULL ? replay_folder(argv[i], folder) : replay(argv[i]);
	}
	return failed;
}
