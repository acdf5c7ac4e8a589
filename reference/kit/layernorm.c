/* Reads one case of the kit and holds a layernorm in C against it: an example of how to use the kit.

   cc -O2 -o layernorm layernorm.c -lm && ./layernorm . layernorm/plain

   Exit code 0: every entry is within its bound. 1: one is not. 2: the kit cannot be read. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 0x1p-24      /* float's roundoff; for another type, see README.md */
#define SMALLEST 0x1p-126 /* float's smallest number of full precision */

/* A table of float64 numbers of the kit, how many they are, and its shape as written. */
static double *table(const char *kit, const char *test, const char *role, const char *name, long *count, char *shape) {
    char path[4096], line[512], c[99], r[99], n[99], dtype[9];
    long offset;
    snprintf(path, sizeof path, "%s/index.tsv", kit);
    FILE *index = fopen(path, "r");
    while (index && fgets(line, sizeof line, index)) {
        if (sscanf(line, "%98s %98s %98s %8s %98s %ld %ld", c, r, n, dtype, shape, &offset, count) != 7) continue;
        if (strcmp(c, test) || strcmp(r, role) || strcmp(n, name)) continue;
        double *numbers = malloc(*count * sizeof *numbers);
        snprintf(path, sizeof path, "%s/kit.bin", kit);
        FILE *data = fopen(path, "rb");
        if (data && !fseek(data, offset, SEEK_SET) && fread(numbers, sizeof *numbers, *count, data) == (size_t)*count) {
            fclose(data);
            fclose(index);
            return numbers;
        }
        break;
    }
    fprintf(stderr, "%s: no %s %s of %s\n", kit, role, name, test);
    exit(2);
}

/* The function under test. */
static void layernorm(float *y, const float *x, const float *gain, const float *bias, long rows, long C) {
    for (long row = 0; row < rows; row++, x += C, y += C) {
        float mean = 0, variance = 0;
        for (long c = 0; c < C; c++) mean += x[c];
        mean /= C;
        for (long c = 0; c < C; c++) variance += (x[c] - mean) * (x[c] - mean);
        float rstd = 1 / sqrtf(variance / C + 1e-5f);
        for (long c = 0; c < C; c++) y[c] = gain[c] * ((x[c] - mean) * rstd) + bias[c];
    }
}

static float *floats(const double *numbers, long count) {
    float *narrow = malloc(count * sizeof *narrow);
    for (long i = 0; i < count; i++) narrow[i] = (float)numbers[i]; /* exact: see README.md */
    return narrow;
}

int main(int argc, char **argv) {
    const char *kit = argc > 1 ? argv[1] : ".", *test = argc > 2 ? argv[2] : "layernorm/plain";
    char shape[99];
    long C, n;
    double *gain = table(kit, test, "input", "gain", &C, shape), *bias = table(kit, test, "input", "bias", &C, shape);
    double *x = table(kit, test, "input", "x", &n, shape);
    double *expected = table(kit, test, "expected", "y", &n, shape), *error = table(kit, test, "error", "y", &n, shape);

    float *y = malloc(n * sizeof *y);
    layernorm(y, floats(x, n), floats(gain, C), floats(bias, C), n / C, C);

    double worst = 0;
    long beyond = 0;
    for (long i = 0; i < n; i++) {
        double share = fabs(y[i] - expected[i]) / (4 * UNIT * error[i] + SMALLEST);
        if (!(share <= 1)) beyond++; /* NaN is not within a bound either */
        if (share > worst) worst = share;
    }
    printf("%s y (%s): %.3f of the bound, %ld entries beyond it\n", test, shape, worst, beyond);
    return beyond > 0;
}
