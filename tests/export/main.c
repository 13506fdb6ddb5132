/* Predictions of exported networks: reads doubles, writes outputs; links nothing of Python's.
 *
 * networks.h is made by the test: the headers, and NETWORKS, one row a network. The input has, for
 * each run, the network's number, and its values; the output a status and the outputs. */
#include <stdio.h>
#include <stdlib.h>

#include "networks.h"

#define COUNT (sizeof networks / sizeof networks[0])

int main(void) {
    unsigned long number;
    while (scanf("%lu", &number) == 1) {
        size_t i;
        int status;
        double in[64], out[64];
        if (number >= COUNT || networks[number].n_in > 64 || networks[number].n_out > 64) {
            return 2;
        }
        for (i = 0; i < networks[number].n_in; i++) {
            if (scanf("%lf", &in[i]) != 1) {
                return 3;
            }
        }
        status = networks[number].predict(in, out);
        printf("%d", status);
        for (i = 0; status == 0 && i < networks[number].n_out; i++) {
            printf(" %.17g", out[i]);
        }
        printf("\n");
    }
    return 0;
}
