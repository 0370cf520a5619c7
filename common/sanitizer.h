/*
 * sanitizer: is this a build with the address sanitizer? Its leak check is a debugger, forks, and has settings in the
 * environment. Each compiler says it in its own way.
 */
#ifndef C2SD_COMMON_SANITIZER_H
#define C2SD_COMMON_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

#endif
