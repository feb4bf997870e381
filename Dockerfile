# The command line with the servers. The proxy before a recognition server on port 6006:
#
#     docker build -t gtcrn-frontend .
#     docker run --rm -p 6005:6005 gtcrn-frontend proxy --listen 0.0.0.0:6005 --upstream ws://SERVER:6006
#
# Any other command works as well: docker run --rm gtcrn-frontend models list
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install --no-install-recommends -y gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
# soundfile's wheel brings libsndfile; nothing else of the system is needed.
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
ARG EXTRAS=sherpa,proxy
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(echo /wheels/*.whl)[$EXTRAS]" && rm -r /wheels
RUN useradd --create-home frontend
USER frontend
ENTRYPOINT ["gtcrn-frontend"]
CMD ["--help"]
